/** Makes one link: connect, say hello, wait for the answer, all within one time limit. */
import { connect, type Socket } from 'node:net'
import { parseAddress } from '../base/address.ts'
import { PolyraftError } from '../base/errors.ts'
import { FrameReader, frameOf } from './frame.ts'
import { decodeAnswer, encodeHello, HANDSHAKE_BYTES_MAX, type Hello, Verdict } from './handshake.ts'

const KEEP_ALIVE_MS = 10_000
/** Listened to during the handshake only; the socket's own 'end' listener has to stay. */
const EVENTS = ['connect', 'error', 'close', 'data'] as const

/** A socket behind an accepted handshake, paused and without listeners; rejects otherwise. */
export function dial(
  address: string,
  hello: Hello,
  timeoutMs: number,
  signal: AbortSignal,
  forSnapshot = false,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { host, port } = parseAddress(address)
    const socket = connect({ host, port, noDelay: true, keepAlive: true })
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const reader = new FrameReader(HANDSHAKE_BYTES_MAX)

    const settle = (error: Error | undefined): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      for (const event of EVENTS) socket.removeAllListeners(event)
      if (error === undefined) {
        resolve(socket.pause())
        return
      }
      // A destroyed socket may still report: nobody is interested any more.
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const onAbort = (): void => settle(new PolyraftError('Closed', 'the transport was closed'))
    const onData = (chunk: Buffer): void => {
      try {
        reader.push(chunk)
        const payload = reader.next()
        if (payload !== undefined) settle(refusal(payload, address))
      } catch (error) {
        settle(error as Error)
      }
    }
    const timer = setTimeout(
      () => settle(unavailable(`no answer from ${address} within ${timeoutMs} ms`)),
      timeoutMs,
    )
    signal.addEventListener('abort', onAbort)
    socket.on('connect', () => socket.write(frameOf(encodeHello(hello, forSnapshot))))
    socket.on('error', (error) => settle(unavailable(error.message)))
    socket.on('close', () => settle(unavailable(`${address} closed the link without an answer`)))
    socket.on('data', onData)
  })
}

function refusal(payload: Buffer, address: string): Error | undefined {
  const answer = decodeAnswer(payload)
  if (answer.verdict === Verdict.Accepted) return undefined
  const code = answer.verdict === Verdict.WrongCluster ? 'ClusterIdMismatch' : 'StoreNotMatch'
  return new PolyraftError(code, `${address} refused the link: ${answer.reason}`)
}

function unavailable(message: string): PolyraftError {
  return new PolyraftError('Unavailable', message)
}
