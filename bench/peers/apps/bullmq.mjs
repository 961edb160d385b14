import { Queue, QueueEvents, Worker } from "bullmq";

/** Steps as its documentation has them (pattern "process step jobs"): a job records how far it is in its own data. */
export async function open({ port }) {
  const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
  const queue = new Queue("bench", { connection });
  const events = new QueueEvents("bench", { connection });
  // Every job waits for its end by a listener of its own.
  events.setMaxListeners(0);
  const worker = new Worker(
    "bench",
    async (job) => {
      if (job.name === "steps") {
        for (const step of ["one", "two", "three"]) {
          await job.updateData({ ...job.data, step });
        }
      }
      return job.name;
    },
    { connection, concurrency: 64 },
  );
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);
  return {
    async run(name) {
      const job = await queue.add(name, { text: name }, { removeOnComplete: 1000 });
      await job.waitUntilFinished(events);
    },
  };
}
