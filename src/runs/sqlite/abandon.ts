/** Databases that must not be closed in this process, because closing copies a log that has lost something. */
const abandoned: unknown[] = [];

/** Keeps a database from ever being closed: kept alive, and not by Node either, which closes what is open as it ends. */
export function abandon(database: unknown): void {
  abandoned.push(database);
  if (abandoned.length === 1) {
    // Within this event, `exit` ends the process without cleaning up.
    process.once("exit", () => process.exit());
  }
}
