import type { Command } from 'commander'

/** Ends a command whose flags, each of which may be right, cannot be meant as they are: exit code 2. */
export function wrongUsage(command: Command, message: string): never {
  command.error(`polyraft: ${message}`, { exitCode: 2 })
}
