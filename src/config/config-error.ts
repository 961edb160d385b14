/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** The field, by its path: `grpc.port`, `workflows["a.B/C"].retry`. Empty for the configuration as a whole. */
  readonly field: string;
  readonly message: string;
  /** Where it stands in the file, counted from 1; absent for a configuration that was made in code. */
  readonly position?: { readonly line: number; readonly column: number };
}

/** A configuration that cannot be used. Its message lists every problem that was found, each with its line and field. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(source: string, problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super(problems.map((problem) => describe(source, problem)).join("\n"), options);
    this.problems = problems;
  }
}

/** In the form that editors and terminals make a link of: `retake.yaml:3:1: grpc.port: …`. */
function describe(source: string, { field, message, position }: ConfigProblem): string {
  const place = position === undefined ? source : `${source}:${position.line}:${position.column}`;
  return field === "" ? `${place}: ${message}` : `${place}: ${field}: ${message}`;
}
