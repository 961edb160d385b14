/** What times lose when events carry them, in ms. */
export const roundingMs = 0.01;

/** What happens within this time, in ms, happens at once: timers are late, commits take time, others go first. */
export const promptMs = 500;
