// Which model answers a prompt, and why: made by routing/, told to people by protocols/ and http/.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "llm/llm.h"

namespace gbgreg::llm {

struct Complexity {
  int level = 1;     // 1 (a greeting) to 5 (long, several steps, strict).
  double score = 0;  // 0 to 1; the level is a cut of it.
};

// One thing that was seen in the prompt and how much it counted.
struct Signal {
  std::string name;  // "code_block", "greeting", "image" …
  double value = 0;
  double weight = 0;
};

struct Alternative {
  std::string role;
  std::string model;
  double score = 0;     // 0 to 1, the chosen one's being the highest unless a rule forbade another.
  std::string why_not;  // A clause: "nothing in the prompt asks for code".
};

// What this very prompt is expected to take on the chosen backend.
struct Prediction {
  double queue_ms = 0;
  double ttft_ms = 0;
  double total_ms = 0;
  int tokens = 0;
};

struct Decision {
  std::string role;
  std::string model;
  std::string backend;  // BackendView::id.
  Complexity complexity = {};
  double confidence = 0;  // 0 to 1.
  std::vector<Signal> signals = {};
  Prediction predicted = {};
  std::vector<Alternative> alternatives = {};
  std::string reason;  // One sentence.
};

// What of the owner's files a model was given: of an upload, or of a project.
struct Source {
  std::string upload_id = {};
  std::string project_id = {};
  std::string path;
  int first_line = 0;  // From 1 on; none of an image.
  int last_line = 0;   // It was given as well.
};

// The `gbgreg` block of an answer.
struct AnswerNotes {
  std::string request_id;
  std::string role;
  std::string model;
  std::string backend;
  std::string device;
  Complexity complexity = {};
  std::string reason;
  int objective_ms = 0;  // What its role promises.
  double queue_ms = 0;
  double ttft_ms = 0;
  double total_ms = 0;
  int kept_tokens = 0;     // Prompt tokens that reached the model …
  int dropped_tokens = 0;  // … and those that did not fit.
  std::vector<Source> sources = {};
  // Those of the request, and what the backend is not sent because it would not understand it.
  std::vector<std::string> ignored_options = {};
};

// An answer that is whole, but for its words.
struct Answer {
  Completion completion;
  AnswerNotes notes;
  std::chrono::nanoseconds load{0};  // Waited for the model to be loaded.
};

}  // namespace gbgreg::llm
