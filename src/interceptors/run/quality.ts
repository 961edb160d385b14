import { Quality } from "../../../gen/retake/v1/options_pb.js";
import {
  type Outcome,
  type QualityLevels,
  type RunHandler,
  type RunInterceptor,
  type RunRequest,
  runQuality,
} from "../../runs/index.ts";

/**
 * Chooses how much of its request an attempt asks for, once it is let through: the record changes the fields. Failures
 * are told to the workflow's level, which may fall by them.
 */
export function quality(options: { readonly levels: Pick<QualityLevels, "of" | "failed"> }): RunInterceptor {
  const { levels } = options;
  return (next) => (request) => (request.workflow.degradable ? asked(next, request, levels) : next(request));
}

async function asked(
  next: RunHandler,
  request: RunRequest,
  levels: Pick<QualityLevels, "of" | "failed">,
): Promise<Outcome> {
  const { run, workflow } = request;
  const chosen = runQuality(run, workflow.policy, levels.of(workflow.name));
  const attemptsBefore = run.attempts;
  const outcome = await next(chosen === Quality.FULL ? request : { ...request, quality: chosen });
  if (outcome.kind === "failed" && run.attempts !== attemptsBefore) {
    levels.failed(workflow.name, outcome.failure, chosen);
  }
  return outcome;
}
