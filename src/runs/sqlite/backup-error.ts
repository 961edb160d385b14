/** A backup cannot be made or restored. Its message says what to do. */
export class BackupError extends Error {
  override readonly name = "BackupError";
  readonly reason: "damaged" | "refused";

  constructor(reason: "damaged" | "refused", message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
