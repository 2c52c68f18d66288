// The world of a test: names that lead to ports of this machine. A preload, so that no peer is changed.
import { webcrypto } from 'node:crypto'
import tls from 'node:tls'

// Node 18 has it, but not as a global, which the peers take for granted.
globalThis.crypto ??= webcrypto

const names = JSON.parse(process.env.AAUTHKIT_NAMES ?? '{}')
const connect = tls.connect

tls.connect = function (options, ...rest) {
    const place = names[options?.host ?? options?.hostname]
    if (place === undefined) return connect.call(this, options, ...rest)
    const [host, port] = place
    return connect.call(this, { ...options, servername: options.servername ?? options.host, host, port }, ...rest)
}
