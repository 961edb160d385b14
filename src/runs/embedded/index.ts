export { createEmbeddedFeed, type EmbeddedFeedOptions } from "./feed.ts";
export { createEmbeddedGates, type EmbeddedGatesOptions } from "./gates.ts";
export { createEmbeddedScheduler, type EmbeddedSchedulerOptions } from "./scheduler.ts";
