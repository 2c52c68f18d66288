// Verifies requests with the npm package `@hellocoop/httpsig`: one line of JSON in says how many, one line out what it
// took. `node node_verify.mjs ENTRY REQUESTS.json`; each request is verified on its own, the next when it is done.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [entry, file] = process.argv.slice(2)
const { verify } = (await import(pathToFileURL(entry))).default
const requests = JSON.parse(readFileSync(file, 'utf8'))
let next = 0

for await (const line of createInterface({ input: process.stdin })) {
    const count = Number(line)
    const cpu = process.cpuUsage()
    const begun = process.hrtime.bigint()
    for (let i = 0; i < count; i++) {
        const result = await verify(requests[next++ % requests.length])
        if (!result.verified) throw new Error(result.error)
    }
    const wall = Number(process.hrtime.bigint() - begun) / 1e3
    const used = process.cpuUsage(cpu)
    console.log(JSON.stringify({ wall: wall / count, cpu: (used.user + used.system) / count }))
}
