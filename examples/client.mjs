/**
 * A client of a running cluster (`npm start` in another terminal):
 *
 *   node examples/client.mjs
 */
import { connect, PolyraftError } from 'polyraft'

const kv = await connect({ pd: '127.0.0.1:2379', timeoutMs: 5000 })
try {
  await kv.put('greeting', 'hello')
  console.log((await kv.get('greeting'))?.toString())
  await kv.delete('greeting')
  await kv.put('', 'keys are never empty')
} catch (error) {
  // Every failure has a code; `retryable` tells whether trying again later can help.
  if (!(error instanceof PolyraftError)) throw error
  console.log(`${error.code}: ${error.message}`)
} finally {
  await kv.close()
}
