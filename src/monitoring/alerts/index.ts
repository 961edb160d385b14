// For who tells of alerts: it needs nothing of what measures, which a server loads only once it listens.
export { fingerprintOf } from "../notifiers/notice.ts";
export { alertSeverities } from "../notifiers/notice-events.ts";
export { testNotifier } from "../notifiers/test-notifier.ts";
export { viewAlert } from "./alert.ts";
export { causes as alertCauses, states as alertStates } from "./alert-events.ts";
export { alertAnnotations, alertLabels } from "./alert-labels.ts";
