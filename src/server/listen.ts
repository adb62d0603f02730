/** Taking ports: free-port checks and errors that name the flag to change. */
import { createServer, type Server } from 'node:net'
import { formatAddress, type HostPort } from '../base/address.ts'
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'

/** What a failed bind of `at` means to the user; `flag` is what to change. */
export function bindError(error: unknown, at: HostPort, flag: string): PolyraftError {
  const address = formatAddress(at.host, at.port)
  const message = errorMessage(error)
  if (systemErrorCode(error) === 'EADDRINUSE' || message.includes('EADDRINUSE')) {
    return new PolyraftError(
      'AddressInUse',
      `${address} (${flag}) is in use: stop the program that has it, or choose another`,
      { address, flag },
    )
  }
  return new PolyraftError(
    'ConfigInvalid',
    `cannot listen on ${address} (${flag}): ${message}`,
    { address, flag },
    { cause: error },
  )
}

/** Binds any net.Server (so also an http.Server) and answers with the real port. */
export function listenOn(server: Server, at: HostPort, flag: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(bindError(error, at, flag))
    server.once('error', onError)
    server.listen({ host: at.host, port: at.port, exclusive: true }, () => {
      server.off('error', onError)
      const bound = server.address()
      resolve(typeof bound === 'object' && bound !== null ? bound.port : at.port)
    })
  })
}

/** Rejects with AddressInUse when the port is taken; answers with a free one for port 0. */
export async function checkPort(at: HostPort, flag: string): Promise<number> {
  const probe = createServer()
  const port = await listenOn(probe, at, flag)
  await new Promise((resolve) => probe.close(resolve))
  return port
}
