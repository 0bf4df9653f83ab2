#include "backends/openai_backend.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <ctime>

#include "backends/compact_json.h"
#include "llm/trace.h"
#include "protocols/engine_embeddings.h"
#include "protocols/engine_wire.h"
#include "protocols/json_writer.h"

namespace gbgreg::backends {
namespace {

namespace wire = protocols::engine_wire;

constexpr int kRetryAfterSecondsMax = 60;

std::string_view header(const net::ClientAnswer& answer, std::string_view name) {
  return answer.head().field(name).value_or(std::string_view{});
}

// Seconds, or a date of HTTP's; absent is soon.
int retry_after(const net::ClientAnswer& answer) {
  const std::string text(header(answer, "retry-after"));
  std::int64_t seconds = 1;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  std::tm date{};
  if (read.ec != std::errc{} && strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date) != nullptr) {
    seconds = timegm(&date) - std::time(nullptr);
  }
  return static_cast<int>(std::clamp<std::int64_t>(seconds, 1, kRetryAfterSecondsMax));
}

// `{"model":"ours",…` with the server's own name for it.
std::string with_model(std::string_view body, std::string_view model) {
  constexpr std::string_view kBegin = R"({"model":")";
  if (!body.starts_with(kBegin)) return std::string(body);
  std::size_t end = kBegin.size();
  while (end < body.size() && body[end] != '"') end += body[end] == '\\' ? 2 : 1;
  std::string out = R"({"model":)";
  protocols::append_json_text(out, model);
  if (end < body.size()) out.append(body.substr(end + 1));
  return out;
}

wire::ChatServer chat_server(const OpenAiOptions& options) { return {.model = options.model, .takes = options.takes}; }

std::unexpected<Error> cannot_count() {
  return fail(Kind::refused, "cannot_count_tokens",
              "This model is on an outside server, which cannot count tokens: ask for the answer, which says how many "
              "there were.");
}

}  // namespace

net::ClientRequest OpenAiBackend::request_for(const Post& post) const {
  return {.method = "POST",
          .target = post.target,
          .bearer = options_.key,
          .fields = post.trace_fields,
          .body = post.body,
          .head_timeout = options_.first_token_timeout,
          .body_idle_timeout = options_.between_tokens_timeout,
          .first_byte_by = post.first_byte_by,
          .deadline = post.deadline};
}

// What was seen is cut somewhere, so the text may end within the key.
std::string OpenAiBackend::without_secrets(std::string detail) const {
  constexpr std::size_t kTellingBytesMin = 4;
  constexpr std::string_view kStars = "***";
  const std::string& key = options_.key;
  if (key.empty()) return detail;
  for (std::size_t at = detail.find(key); at != std::string::npos; at = detail.find(key, at + kStars.size())) {
    detail.replace(at, key.size(), kStars);
  }
  for (std::size_t size = std::min(key.size(), detail.size()); size >= kTellingBytesMin; --size) {
    if (!detail.ends_with(std::string_view(key).substr(0, size))) continue;
    detail.replace(detail.size() - size, size, kStars);
    break;
  }
  return detail;
}

Task<Error> OpenAiBackend::refusal(net::ClientAnswer& answer) {
  const int status = answer.status();
  if (status == 401 || status == 403) {
    co_return Error{.kind = Kind::backend_failed,
                    .code = "backend_key_refused",
                    .message =
                        "The model's server refuses the gateway's key: its owner has to set `key_env` or "
                        "`key_file` of this server right.",
                    .detail = "status " + std::to_string(status)};
  }
  if (status == 429 || (status == 503 && answer.head().field("retry-after"))) {
    co_return Error{.kind = Kind::busy,
                    .code = "backend_busy",
                    .message = "The model's server has too much to do; try again when Retry-After says.",
                    .detail = "status " + std::to_string(status),
                    .retry_after_seconds = retry_after(answer)};
  }
  auto body = co_await answer.read_all(options_.error_bytes_max);
  Error error = wire::read_error(status, body ? *body : std::string{});
  if (status == 404) {
    error = {.kind = Kind::backend_failed,
             .code = "backend_has_no_model",
             .message = "The model's server does not know this model: its owner has to correct `served_as`.",
             .detail = error.detail};
  }
  error.detail = without_secrets(std::move(error.detail));
  co_return error;
}

Task<Result<std::unique_ptr<net::ClientAnswer>>> OpenAiBackend::ask(net::IoThread& io, const Post& post) {
  auto answer = co_await net::send(io, options_.address, request_for(post));
  if (answer && (*answer)->status() != 200) co_return std::unexpected(co_await refusal(**answer));
  co_return answer;
}

Task<Result<std::string>> OpenAiBackend::ask_whole(net::IoThread& io, const Post& post, std::size_t bytes_max) {
  auto answer = co_await ask(io, post);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return co_await (*answer)->read_all(bytes_max);
}

Task<Result<llm::Completion>> OpenAiBackend::generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) {
  std::string body = wire::write_chat_request(request, true, chat_server(options_));
  const Post asked{.target = "/v1/chat/completions",
                   .body = {body},
                   .trace_fields = llm::trace_fields(request.caller),
                   .first_byte_by = request.first_byte_by,
                   .deadline = request.deadline};
  auto answer = co_await ask(io, asked);
  std::string().swap(body);
  if (!answer) co_return std::unexpected(std::move(answer.error()));

  wire::StreamReader reader;
  llm::Delta delta;
  while (!reader.done()) {
    auto piece = co_await (*answer)->read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) break;
    delta.clear();
    auto fed = reader.feed(*piece, delta);
    if (!delta.empty()) {
      auto taken = co_await sink.delta(delta);
      if (!taken) co_return std::unexpected(std::move(taken.error()));
    }
    if (!fed) co_return std::unexpected(std::move(fed.error()));
  }
  co_return reader.finish();
}

Task<Result<int>> OpenAiBackend::count_tokens(net::IoThread& io, const llm::Request& request) {
  if (!options_.counts_tokens) co_return cannot_count();
  const std::string body = wire::write_chat_request(request, false, chat_server(options_));
  const Post asked{.target = "/v1/chat/completions/input_tokens",
                   .body = body,
                   .trace_fields = llm::trace_fields(request.caller),
                   .deadline = request.deadline};
  const auto counted = co_await ask_whole(io, asked, options_.error_bytes_max);
  if (!counted) co_return std::unexpected(counted.error());
  co_return wire::read_count(*counted);
}

Task<Result<llm::EmbedBatch>> OpenAiBackend::embed(net::IoThread& io, std::span<const llm::EmbedInput> inputs,
                                                   SteadyTime deadline, std::string_view trace_fields) {
  std::string body = R"({"model":)";
  protocols::append_json_text(body, options_.model);
  body.append(",").append(wire::write_embed_request(inputs), 1);
  const SteadyTime silent_until = std::chrono::steady_clock::now() + options_.vectors_timeout;
  const Post asked{.target = "/v1/embeddings",
                   .body = body,
                   .trace_fields = trace_fields,
                   .first_byte_by = silent_until,
                   .deadline = deadline};
  const auto vectors = co_await ask_whole(io, asked, options_.vectors_bytes_max);
  if (!vectors) co_return std::unexpected(vectors.error());
  co_return wire::read_embeddings(*vectors, inputs.size());
}

Task<Result<llm::TokenIds>> OpenAiBackend::tokens(net::IoThread& io, std::string_view text, SteadyTime deadline) {
  if (!options_.counts_tokens) co_return cannot_count();
  const std::string body = wire::write_tokenize_request(text);
  const Post asked{.target = "/tokenize", .body = body, .deadline = deadline};
  const auto tokens = co_await ask_whole(io, asked, options_.vectors_bytes_max);
  if (!tokens) co_return std::unexpected(tokens.error());
  co_return wire::read_tokens(*tokens);
}

Task<Result<void>> OpenAiBackend::post(net::IoThread& io, const Post& post, ByteSink& sink) {
  const std::string begin = with_model(post.body.parts[0], options_.model);
  Post renamed = post;
  renamed.body.parts[0] = begin;
  auto answer = co_await ask(io, renamed);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  CompactJson compact(header(**answer, "content-type").starts_with("text/event-stream"), options_.name);
  while (true) {
    auto at_hand = (*answer)->body_at_hand();
    auto piece = at_hand ? std::move(*at_hand) : co_await (*answer)->read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return Result<void>{};
    const std::string_view bytes = compact.feed(*piece);
    if (bytes.empty()) continue;
    auto taken = sink.bytes(bytes);
    if (!taken) co_return std::unexpected(std::move(taken.error()));
    if (!*taken) continue;
    if (auto drained = co_await sink.drain(); !drained) co_return drained;
  }
}

Task<Result<std::string>> OpenAiBackend::get(net::IoThread& io, std::string_view target, SteadyTime deadline) {
  const net::ClientRequest asked{.method = "GET", .target = target, .bearer = options_.key, .deadline = deadline};
  auto answer = co_await net::send(io, options_.address, asked);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if ((*answer)->status() != 200) co_return std::unexpected(co_await refusal(**answer));
  co_return co_await (*answer)->read_all(options_.list_bytes_max);
}

Task<Result<protocols::ServerModels>> OpenAiBackend::check(net::IoThread& io, SteadyTime deadline) {
  const bool is_ollama = options_.lists == OpenAiOptions::Lists::ollama;
  auto body = co_await get(io, is_ollama ? "/api/tags" : "/v1/models", deadline);
  if (!body) co_return std::unexpected(std::move(body.error()));
  co_return is_ollama ? protocols::read_ollama_list(*body) : protocols::read_openai_list(*body);
}

// vLLM and others say it in their list.
Task<Result<std::optional<int>>> OpenAiBackend::context_tokens(net::IoThread& io, SteadyTime deadline) {
  if (options_.lists == OpenAiOptions::Lists::llama_server) {
    auto properties = co_await get(io, "/props", deadline);
    if (!properties) co_return std::unexpected(std::move(properties.error()));
    co_return protocols::read_llama_context(*properties);
  }
  if (options_.lists != OpenAiOptions::Lists::ollama) co_return std::optional<int>{};
  std::string body = R"({"model":)";
  protocols::append_json_text(body, options_.model);
  body += '}';
  const Post asked{.target = "/api/show", .body = body, .deadline = deadline};
  const auto shown = co_await ask_whole(io, asked, options_.list_bytes_max);
  if (!shown) co_return std::unexpected(shown.error());
  co_return protocols::read_ollama_context(*shown);
}

}  // namespace gbgreg::backends
