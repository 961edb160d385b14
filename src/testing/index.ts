export { type DegradedRequest, degradeRequest } from "./degrade-request.ts";
export { createSeededRandom } from "./seeded-random.ts";
export { createTestServer, type TestServer, type TestServerOptions } from "./test-server.ts";
export { createVirtualClock, type VirtualClock, type VirtualClockOptions } from "./virtual-clock.ts";
