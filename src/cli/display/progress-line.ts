import type { Progress } from "../../../gen/retake/v1/run_pb.js";
import { plainText } from "./plain-text.ts";
import { clamped, percentText, stepText } from "./progress-text.ts";
import { fitText, textWidth } from "./text-width.ts";
import { showSeconds } from "./times.ts";

export interface ProgressLine {
  /** What is going on, where no stage says it: `queued`, `attempt 2`. */
  readonly phase: string;
  readonly progress?: Progress | undefined;
  /** What is left of the ETA by now. */
  readonly etaMs?: number | undefined;
  readonly elapsedMs: number;
}

const gap = "  ";
const longestStage = 24;
const longestBar = 30;
const shortestBar = 8;
const shortestMessage = 12;

/**
 * One line that is no wider than `width`: `sampling  ████████░░░░   52 %  step 12/24  1 min 20 s left  frame 12`. Where
 * room is short the message goes first, then the time, the steps and the bar; stage and percentage stay longest.
 */
export function renderProgressLine(line: ProgressLine, width: number, unicode: boolean): string {
  const { progress, phase, elapsedMs, etaMs } = line;
  const stage = fitText(plainText(progress?.stage ?? ""), longestStage) || phase;
  const percent = progress === undefined ? "" : percentText(progress);
  const bar = (length: number): string => (percent === "" ? "" : drawBar(progress?.fraction ?? 0, length, unicode));
  const time = etaMs === undefined ? showSeconds(elapsedMs) : `${showSeconds(etaMs)} left`;
  const message = plainText(progress?.message ?? "");

  const parts = ["", "", "", "", "", ""];
  const text = (): string => parts.filter((part) => part !== "").join(gap);
  /** Puts a part into its place if there is room for so much of it at least. */
  const place = (position: number, part: string, shortest = textWidth(part)): void => {
    const taken = text();
    const room = width - (taken === "" ? 0 : textWidth(taken) + gap.length);
    if (part !== "" && shortest <= room) parts[position] = fitText(part, room);
  };
  place(0, stage, 1);
  place(2, percent.padStart(percent === "" ? 0 : 5));
  place(1, bar(shortestBar));
  place(3, progress === undefined ? "" : stepText(progress));
  place(4, time);
  place(5, message, Math.min(shortestMessage, textWidth(message)));
  if (parts[1] !== "") {
    parts[1] = bar(Math.min(longestBar, shortestBar + width - textWidth(text())));
  }
  return text();
}

function drawBar(fraction: number, length: number, unicode: boolean): string {
  const filled = Math.floor(clamped(fraction) * length);
  return (unicode ? "█" : "#").repeat(filled) + (unicode ? "░" : "-").repeat(length - filled);
}
