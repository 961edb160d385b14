/** Within the data directory. */
export const databaseName = "retake.db";
