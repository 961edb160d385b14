/** The storyboard asks for something that cannot be drawn: the caller's mistake. The message says which scene. */
export class StoryboardError extends Error {
  override readonly name = "StoryboardError";
}

/** The film does not fit into one message, even at the lowest quality. */
export class FilmTooLargeError extends Error {
  override readonly name = "FilmTooLargeError";
}

/** ffmpeg was asked for and is not on the PATH, or cannot encode H.264. */
export class EncoderMissingError extends Error {
  override readonly name = "EncoderMissingError";
}

/** ffmpeg failed. The message ends with the last lines it wrote. */
export class EncoderError extends Error {
  override readonly name = "EncoderError";
}
