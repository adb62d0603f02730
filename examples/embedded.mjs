/**
 * A replicated store inside one Node program: three stores, three directories, no server.
 *
 *   node examples/embedded.mjs
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCluster } from 'polyraft'

const dir = mkdtempSync(join(tmpdir(), 'polyraft-example-'))
const cluster = await openCluster({ dir, stores: 3, regions: 4 })
try {
  const { kv } = cluster
  await kv.put('fruit/apple', 'red')
  await kv.batchPut([
    ['fruit/banana', 'yellow'],
    ['fruit/cherry', 'dark red'],
  ])
  console.log('apple is', (await kv.get('fruit/apple'))?.toString())
  for await (const [key, value] of kv.scan({ start: 'fruit/', end: 'fruit0' })) {
    console.log(`${key.toString()} = ${value.toString()}`)
  }
} finally {
  await cluster.close()
}

// Everything acknowledged is on disk: the same directory opens with the same data.
const again = await openCluster({ dir, stores: 3 })
try {
  console.log('after a restart cherry is', (await again.kv.get('fruit/cherry'))?.toString())
} finally {
  await again.close()
  rmSync(dir, { recursive: true, force: true })
}
