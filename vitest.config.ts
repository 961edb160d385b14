import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["retake-source"] },
  ssr: { resolve: { conditions: ["retake-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
