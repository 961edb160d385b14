export { type Backdrop, backdrops } from "./backdrops/index.ts";
export { type CameraMove, cameraMoves } from "./camera.ts";
export { EncoderError, EncoderMissingError, FilmTooLargeError, StoryboardError } from "./errors.ts";
export { assembleFilm, type Film, type FilmFormat, type FilmOptions } from "./film.ts";
export { type FrameFormat, renderScene, type WorkOptions } from "./scene.ts";
export { planShots, type Scene, type ShootingPlan, type Shot, type Storyboard } from "./storyboard.ts";
