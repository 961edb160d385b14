/** One thing that is wrong with a contract or with its override: where, and what to do about it. */
export interface ContractProblem {
  /** A method (`package.Service/Method`), a type, a file, or a field of one of them. */
  readonly where: string;
  readonly message: string;
  /** The field of the policy that is wrong, by its path: "retry.max_attempts". Absent where it is none. */
  readonly field?: string;
}

/** Contracts that cannot be served. Its message lists every problem that was found, each with its method and field. */
export class ContractError extends Error {
  override readonly name = "ContractError";
  readonly problems: readonly ContractProblem[];

  constructor(problems: readonly ContractProblem[]) {
    super(describe(problems));
    this.problems = problems;
  }
}

function describe(problems: readonly ContractProblem[]): string {
  const lines = problems.map(({ where, message }) => `${where}: ${message}`);
  if (lines.length === 1) return lines.join();
  return `${lines.length} problems in the contracts:\n${lines.map((line) => `  - ${line}`).join("\n")}`;
}
