import { it } from "vitest";
import { drainMany, start } from "./breaker-studio.ts";

it("10,000 runs that a breaker has parked go on in waves and exceed no limit", { timeout: 120_000 }, async () => {
  const studio = await start({ config: { concurrencyLimit: 50 } });
  await drainMany(studio, 10_000, 50);
});
