// @hellocoop/httpsig, driven by a test: one JSON object a line in, one a line out.
import { readFileSync } from 'node:fs'
import https from 'node:https'
import { createInterface } from 'node:readline'
import * as httpsig from '@hellocoop/httpsig'

const bytes = (text) => (text === undefined ? undefined : Buffer.from(text, 'latin1'))

const commands = {
    // A server whose only answer is what verify() says of the request.
    serve: ({ certificate, key, authority, options }) =>
        new Promise((resolve) => {
            const server = https.createServer(
                { cert: readFileSync(certificate), key: readFileSync(key) },
                async (request, response) => {
                    const pieces = []
                    for await (const piece of request) pieces.push(piece)
                    const [path, ...query] = request.url.split('?')
                    const verdict = await httpsig.verify(
                        {
                            method: request.method,
                            authority,
                            path,
                            query: query.length ? query.join('?') : undefined,
                            headers: request.headers,
                            body: pieces.length ? Buffer.concat(pieces) : undefined,
                        },
                        options,
                    )
                    const headers = { 'content-type': 'application/json' }
                    if (verdict.signatureError)
                        headers['signature-error'] = httpsig.generateSignatureErrorHeader(verdict.signatureError)
                    response.writeHead(verdict.verified ? 200 : 401, headers).end(JSON.stringify(verdict))
                },
            )
            server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }))
        }),

    // A request that it signs and sends.
    fetch: async ({ url, options }) => {
        const { response, sent } = await httpsig.fetch(url, {
            ...options,
            body: options.bytes === undefined ? options.body : bytes(options.bytes),
            returnSent: true,
        })
        return {
            status: response.status,
            headers: Object.fromEntries(response.headers),
            body: await response.text(),
            sent: Object.fromEntries(sent.headers),
        }
    },

    // One of its readers of header fields.
    read: ({ reader, value }) => {
        try {
            const found = httpsig[reader](value)
            const plain = (one) => (one instanceof Map ? Object.fromEntries([...one].map(([k, v]) => [k, plain(v)]))
                : Array.isArray(one) ? one.map(plain) : one instanceof httpsig.Token ? String(one) : one)
            return { found: plain(found) }
        } catch (error) {
            return { refused: error.message }
        }
    },
}

for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...rest } = JSON.parse(line)
    try {
        console.log(JSON.stringify(await commands[command](rest)))
    } catch (error) {
        console.log(JSON.stringify({ error: `${error.message}: ${error.cause?.message ?? ''}` }))
    }
}
process.exit(0)
