import { configDefaults, defineConfig } from "vitest/config";
import config from "./vitest.config.ts";

/** Suites that take minutes: they kill and trace real server processes. `npm run test:slow`. */
export default defineConfig({
  ...config,
  test: {
    env: config.test?.env ?? {},
    include: ["test/**/*.slow.test.ts"],
    exclude: configDefaults.exclude,
    // Each has the machine for itself: they load it, and look at its timing.
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 60_000,
  },
});
