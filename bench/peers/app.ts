// The process of one product's app: `app.ts MODULE SETTINGS`. It answers each load with what it has measured.
import { quantile } from "../statistics.ts";
import type { App, Job, Load, Measured } from "./jobs.ts";

const [module = "", settings = "{}"] = process.argv.slice(2);
const { open } = (await import(new URL(`./apps/${module}`, import.meta.url).href)) as {
  open(settings: Readonly<Record<string, string>>): Promise<App>;
};
const app = await open(JSON.parse(settings) as Record<string, string>);

process.on("message", async (load: Load) => {
  try {
    process.send?.({ measured: await measure(load) });
  } catch (error) {
    process.send?.({ failure: (error as Error).stack });
  }
});
process.on("disconnect", () => process.exit());
process.send?.({ ready: true });

async function measure({ job, inFlight, warmUpMs, measureMs }: Load): Promise<Measured> {
  await during(warmUpMs, job, inFlight);
  const startMs = performance.now();
  const latencies = await during(measureMs, job, inFlight);
  const seconds = (performance.now() - startMs) / 1000;
  return {
    perSecond: latencies.length / seconds,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
  };
}

/** Has so many jobs done at a time, until the time is over. Answers how long each took. */
async function during(ms: number, job: Job, inFlight: number): Promise<number[]> {
  const latencies: number[] = [];
  const endMs = performance.now() + ms;
  const callers = Array.from({ length: inFlight }, async () => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      await app.run(job);
      latencies.push(performance.now() - startMs);
    }
  });
  await Promise.all(callers);
  return latencies;
}
