import { setTimeout } from "node:timers/promises";

/** One way to hurt a server, until the process ends. */
export type Attack = (port: number) => Promise<void>;

/** What an attack comes to, for who has started it: that it has begun, and in the end how many connections it took. */
export const toll = {
  opened: 0,
  closed: 0,
  /** A connection is there. */
  open(): void {
    if (this.opened === 0) process.stdout.write("begun\n");
    this.opened += 1;
  },
};

/** What the process is told: which attack, on which port, from where. */
export const [name = "", port = "", source = "127.0.0.66"] = process.argv.slice(2);

/** Carries out what the process was told, until it is told to end. */
export async function attack(attacks: Readonly<Record<string, Attack>>): Promise<void> {
  process.once("SIGTERM", () => {
    process.stdout.write(`${toll.opened} connections, ${toll.closed} of them closed`);
    process.exit();
  });
  await attacks[name]?.(Number(port));
}

export const forEver = (): Promise<void> => setTimeout(2 ** 30);
