import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  // `import "retake"` in a test means the sources, never a stale build.
  resolve: { conditions: ["retake-source"] },
  ssr: { resolve: { conditions: ["retake-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "test/**/*.slow.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
