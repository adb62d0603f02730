/** What `polyraft pd` refuses before it starts anything. */
import { Command, CommanderError } from 'commander'
import { describe, expect, test } from 'vitest'
import { register } from '../../../src/server/commands/pd.ts'
import { WrongUsage } from '../../../src/server/wrong-usage.ts'

/** What a command line that is wrong is told. */
async function wrongUsage(...args: string[]): Promise<string> {
  const settings = new Command().exitOverride().configureOutput({ writeErr: () => {} })
  register(settings)
  for (const command of settings.commands) command.copyInheritedSettings(settings)
  const error = await settings.parseAsync(['pd', ...args], { from: 'user' }).catch((e) => e)
  if (!(error instanceof CommanderError)) expect(error).toBeInstanceOf(WrongUsage)
  return error.message
}

describe('wrong usage', () => {
  test.each(['30', 'soon', `${'9'.repeat(400)}d`])('a store is down after %s', async (time) => {
    expect(await wrongUsage('--max-store-down-time', time)).toContain('write 30s or 30m')
  })

  test.each(['0s', '30ms', '29s'])('a store is down after %s, too soon', async (time) => {
    expect(await wrongUsage('--max-store-down-time', time)).toContain('at least 30s: ')
  })

  test.each([
    ['--client-addr', '127.0.0.1:99999'],
    ['--client-addr', 'here'],
    ['--advertise-client-addr', 'nonsense'],
    ['--advertise-client-addr', 'http://10.0.0.1:2379'],
  ])('%s %s', async (flag, address) => {
    const said = await wrongUsage(flag, address)
    expect(said).toContain(`option '${flag} <host:port>'`)
    expect(said).toContain(`${address} is not host:port.`)
  })

  test.each([
    [['--regions', '8', '--replicas', '5'], '--regions'],
    [['--replicas', '5'], '--replicas'],
  ])('%j without a number of stores', async (flags, first) => {
    expect(await wrongUsage(...flags)).toBe(
      `${first} is for a cluster that is told how many stores it begins with: add --initial-stores`,
    )
  })

  test.each(['0.0.0.0:2379', '[::]:2379'])('%s, which nobody can be told', async (address) => {
    expect(await wrongUsage('--client-addr', address)).toBe(
      '--advertise-client-addr is needed when --client-addr listens on every interface',
    )
  })

  test('an unknown log level', async () => {
    expect(await wrongUsage('--log-level', 'bogus')).toContain(
      'Allowed choices are debug, info, warn, error, silent.',
    )
  })
})
