// For who tells how a server is: it needs nothing of what measures, which a server loads only once it listens.
export { type RunFigures, type RunTimes, ServerFigures } from "./server-figures.ts";
