// For who tells how a server is: it needs nothing of what measures, which a server loads only once it listens.
export {
  type FiguresSource,
  perSecond,
  type RunFigures,
  type RunTimes,
  ServerFigures,
  type SlowestWorkflow,
} from "./server-figures.ts";
