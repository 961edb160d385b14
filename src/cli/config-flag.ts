import type { Flag } from "./command.ts";

export const defaultConfig = "retake.yaml";

/** For commands that read a configuration. */
export const configFlag: Flag = {
  short: "c",
  value: "FILE",
  description: `The configuration. Default: ${defaultConfig}, where there is one`,
};
