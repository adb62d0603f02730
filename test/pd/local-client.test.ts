import { silentLogger } from '../../src/base/logger.ts'
import { LocalPdClient } from '../../src/pd/local-client.ts'
import { pdClientConformance } from './client-conformance.ts'
import { openCore } from './fixtures.ts'

pdClientConformance('LocalPdClient', async (plan) => {
  const core = await openCore({ plan })
  const client = new LocalPdClient(core, silentLogger)
  return {
    core,
    client,
    close: async () => {
      await client.close()
      await core.close()
    },
  }
})
