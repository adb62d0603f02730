/** What `polyraft pd` refuses before it starts anything. */
import { Command, CommanderError } from 'commander'
import { describe, expect, test } from 'vitest'
import { register } from '../../../src/server/commands/pd.ts'

/** What commander says of a command line that is wrong. */
async function wrongUsage(...args: string[]): Promise<string> {
  let said = ''
  const settings = new Command().exitOverride()
  settings.configureOutput({
    writeErr: (text) => {
      said += text
    },
  })
  register(settings)
  for (const command of settings.commands) command.copyInheritedSettings(settings)
  const outcome = settings.parseAsync(['pd', ...args], { from: 'user' })
  await expect(outcome).rejects.toBeInstanceOf(CommanderError)
  return said
}

describe('wrong usage', () => {
  test.each(['0s', 'soon', `${'9'.repeat(400)}d`])('a store is down after %s', async (time) => {
    expect(await wrongUsage('--max-store-down-time', time)).toContain('a time, like 30m or 1h')
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
      `polyraft: ${first} is for a cluster that is told how many stores it begins with: add --initial-stores\n`,
    )
  })

  test.each(['0.0.0.0:2379', '[::]:2379'])('%s, which nobody can be told', async (address) => {
    expect(await wrongUsage('--client-addr', address)).toBe(
      'polyraft: --advertise-client-addr is needed when --client-addr listens on every interface\n',
    )
  })

  test('an unknown log level', async () => {
    expect(await wrongUsage('--log-level', 'bogus')).toContain(
      'Allowed choices are debug, info, warn, error, silent.',
    )
  })
})
