import { configDefaults, defineConfig } from "vitest/config";

const exclude = [...configDefaults.exclude, "test/**/*.slow.test.ts"];

/** They use or look at what is global in a process, such as meters, memory and modules. */
const alone = [
  "test/*.test.ts",
  "test/{e2e,fuzz,server,simulation}/**/*.test.ts",
  "test/monitoring/telemetry/meter-provider.test.ts",
  "test/runs/artifacts/png-inspection.test.ts",
  "test/runs/embedded/{feed,gates-memory}.test.ts",
  "test/runs/sqlite/payload-files-order.test.ts",
  "test/security/keys/api-key-authenticator.test.ts",
];

export default defineConfig({
  // `import "retake"` in a test means the sources, never a stale build.
  resolve: { conditions: ["retake-source"] },
  ssr: { resolve: { conditions: ["retake-source"] } },
  test: {
    // What tests start leaves nothing in the home of who runs them.
    env: { NODE_DISABLE_COMPILE_CACHE: "1" },
    // Many wait for processes and files more than they compute.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // What comes sooner or later does so within the time of a test, on a busy machine too.
    expect: { poll: { timeout: 10_000 } },
    projects: [
      // Loading what they test takes most files longer than testing it: they share it.
      {
        extends: true,
        test: { name: "together", isolate: false, include: ["test/**/*.test.ts"], exclude: [...exclude, ...alone] },
      },
      { extends: true, test: { name: "alone", include: alone, exclude } },
    ],
  },
});
