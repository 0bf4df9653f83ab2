// OpenAI's dialect: POST /v1/chat/completions and its relatives.
//
// Workers speak it too, so a request's own bytes are sent on, but for the fields that must change, and an answer's own
// bytes come back (openai_relay.h). What a client says is nevertheless read and checked in full: routing needs it, and
// a worker answers mistakes wrongly. Fields that nobody knows stay here. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/options.h"
#include "protocols/server_fields.h"

namespace gbgreg::protocols::openai {

// A field that not every server has (server_fields.h).
struct Extension {
  std::string_view name;  // Ours, of the table.
  std::string json;       // Its value.
};

// What is sent on, without the model: `"messages":[…],"temperature":0.5`. Of a large request the largest part is not
// copied: it stands in the client's own body, which must outlive this.
struct SentOn {
  std::string begin;
  std::string_view large = {};
  std::string end = {};  // Empty when nothing is large.
  std::vector<Extension> extensions = {};
};

// A request that is passed on.
struct Asked {
  llm::Request request;  // In the hub's words: for routing, and for backends of another dialect.
  bool stream = false;
  bool include_usage = false;        // The stream is to end with the figures.
  std::optional<int> logprobs = {};  // Of a completion: how many of the likeliest tokens to tell.
  SentOn fields;
};

// Errors, each naming the field at fault: malformed (invalid_json, invalid_field), too_large, refused
// (image_not_understood).
Result<Asked> parse_chat(std::string_view body, const Limits& limits);
Result<Asked> parse_completion(std::string_view body, const Limits& limits);

// The body that a worker or a server is sent: the fields that it takes, and the model that it is to call itself.
SentOn engine_body(std::string_view model, const SentOn& fields, Takes server = Takes::engine);

// {"error":{"message","type","param","code"}}
std::string write_error(const Error& error);

// GET /v1/models and GET /v1/models/{id}.
struct Model {
  std::string_view id;
  std::string_view owned_by = "gbgreg";
};
std::string write_models(const std::vector<Model>& models, WallTime created);
std::string write_model(const Model& model, WallTime created);

}  // namespace gbgreg::protocols::openai
