/** Gives others their turn: a report reads for a while, and the event loop has other things to do. */
export type Breathe = () => Promise<void>;
