import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  // `import "retake"` in a test means the sources, never a stale build.
  resolve: { conditions: ["retake-source"] },
  ssr: { resolve: { conditions: ["retake-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "test/**/*.slow.test.ts"],
    // What tests start leaves nothing in the home of who runs them.
    env: { NODE_DISABLE_COMPILE_CACHE: "1" },
    // Many wait for processes and files more than they compute.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // What comes sooner or later does so within the time of a test, on a busy machine too.
    expect: { poll: { timeout: 10_000 } },
  },
});
