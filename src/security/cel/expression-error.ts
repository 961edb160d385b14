/** An expression that is no CEL, or that has no value for what it was given. Its message names the expression and its key. */
export class ExpressionError extends Error {
  override readonly name = "ExpressionError";
  /** The configuration's or the contract's key that the expression stands under. */
  readonly field: string;
  /** What is wrong, without the key. */
  readonly problem: string;

  constructor(field: string, problem: string, options?: ErrorOptions) {
    super(`${field}: ${problem}`, options);
    this.field = field;
    this.problem = problem;
  }
}
