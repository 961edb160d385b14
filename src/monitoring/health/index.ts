// For who tells how a server is: it needs nothing of what measures, which a server loads only once it listens.
export type { HealthFacts } from "./health-facts.ts";
export { type AssessedHealth, assessHealth, componentName } from "./health-score.ts";
export { Readiness } from "./readiness.ts";
