export { deadline } from "./deadline.ts";
export { faults } from "./faults.ts";
export { type GateOptions, gate } from "./gate.ts";
export { park } from "./park.ts";
export { quality } from "./quality.ts";
export { record } from "./record.ts";
export { recovery } from "./recovery.ts";
export { retry } from "./retry.ts";
export { timeout } from "./timeout.ts";
