#!/usr/bin/env node
import { processIo } from './io.ts';
import { runProgram } from './program.ts';

/** A reader that closes the pipe early (`| head`) ends the command without an error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const exitCode = await runProgram(process.argv.slice(2), processIo());
await new Promise((written) => process.stdout.write('', written));
process.exit(exitCode);
