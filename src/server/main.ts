#!/usr/bin/env node
/**
 * The command line. Commands load what they need when they run, so that --help is quick.
 * Exit codes: 0 done, 1 failed, 2 wrong usage.
 */
import { Command, CommanderError } from 'commander'
import { keepPoolAwake } from '../env/pool-waker.ts'
import { mustBeText } from './cli/arguments.ts'
import { register as registerBench } from './commands/bench.ts'
import { registerCtl } from './commands/ctl.ts'
import { registerKv } from './commands/kv.ts'
import { register as registerPd } from './commands/pd.ts'
import { register as registerServer } from './commands/server.ts'
import { register as registerUp } from './commands/up.ts'
import { reportError } from './report.ts'
import { VERSION } from './version.ts'
import { WrongUsage } from './wrong-usage.ts'

const FAILED = 1
const WRONG_USAGE = 2

/** Subcommands take over the settings that come before them. */
function buildProgram(): Command {
  const program = new Command('polyraft')
    .description('a sharded, replicated, ordered key-value store that speaks TiKV’s protocols')
    .version(VERSION)
    .showSuggestionAfterError()
    .exitOverride()
  registerUp(program)
  registerServer(program)
  registerPd(program)
  registerKv(program)
  registerCtl(program)
  registerBench(program)
  return program
}

keepPoolAwake()
try {
  mustBeText(process.argv.slice(2))
  await buildProgram().parseAsync()
} catch (error) {
  process.exitCode = exitCodeOf(error)
  // What a failed command left open must not keep the process.
  process.exit()
}

/** Commander has written its own message already. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE
  reportError(error)
  return error instanceof WrongUsage ? WRONG_USAGE : FAILED
}
