// The routes of screenshots: have one looked at, list what was seen, show it, and watch one that is waited for. HTTP
// only; the story is services/screenshots.h's.
//
// One object for all requests, called on every I/O thread; it keeps nothing between them.
#pragma once

#include <chrono>

#include "core/core.h"
#include "http/call.h"
#include "http/handlers/uploads.h"
#include "services/intake.h"
#include "services/screenshots.h"

namespace gbgreg::http {

class ScreenshotHandlers {
 public:
  // `uploads` knows how large an upload may be at the moment.
  ScreenshotHandlers(services::Screenshots& screenshots, services::Intake& intake, const UploadHandlers& uploads)
      : screenshots_(screenshots), intake_(intake), uploads_(uploads) {}

  // POST /api/upload/screenshot
  Task<Result<void>> upload(Call& call);
  // GET /api/screenshots?limit&cursor&q
  Task<Result<void>> list(Call& call);
  // GET /api/screenshots/{id}
  Task<Result<void>> find(Call& call);
  // GET /api/screenshots/{id}/events: an event for what it is now and for each change, until it is finished.
  Task<Result<void>> events(Call& call);

 private:
  services::Screenshots& screenshots_;
  services::Intake& intake_;
  const UploadHandlers& uploads_;
};

}  // namespace gbgreg::http
