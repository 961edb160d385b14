/** What the exit code of the command line says. */
export const ExitCode = {
  ok: 0,
  runFailed: 1,
  usage: 2,
  unreachable: 3,
  notFound: 4,
  cancelled: 5,
  refused: 6,
  damaged: 7,
  interrupted: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** For `--help`. */
export const exitCodeMeanings: readonly (readonly [ExitCode, string])[] = [
  [ExitCode.ok, "done"],
  [ExitCode.runFailed, "the run failed; or `retake lint` has found what will hurt"],
  [ExitCode.usage, "the command line, or the input that it gives, is wrong"],
  [ExitCode.unreachable, "no server could be reached, or it takes no work now"],
  [ExitCode.notFound, "there is no such run or workflow"],
  [ExitCode.cancelled, "the run was cancelled, or expired"],
  [ExitCode.refused, "the server refused (not allowed, wrong state, over a limit), or something else went wrong"],
  [ExitCode.damaged, "the data directory, or the backup, is damaged"],
  [ExitCode.interrupted, "interrupted; a run that was started goes on"],
];
