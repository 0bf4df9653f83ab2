// The answer to a question on its way out: whole or piece by piece, in the dialect it was asked in.
//
// What is asked and how it is said are the handlers' and the dialects' business; here is what all of them share: the
// decision in the headers, the first byte held back until there is one, the truth at the end of a stream that broke.
#pragma once

#include <string>
#include <string_view>

#include "core/core.h"
#include "http/call.h"
#include "llm/decision.h"
#include "net/exchange.h"
#include "protocols/answer_writer.h"
#include "services/generate.h"

namespace gbgreg::http {

// Whether the client wants its answer as it is made.
enum class Delivery : std::uint8_t { whole, stream };

// Asks `request` and answers the call by `writer`. The body of the call has been read, and a client that leaves cancels
// this task. `attached` as services::Generate::answer takes it. Errors: likewise; when the answer had begun the client
// has been told already.
Task<Result<void>> answer(Call& call, services::Generate& generate, const Clock& clock, llm::Request request,
                          protocols::AnswerWriter& writer, Delivery delivery, services::Attached* attached = nullptr);

// The routing decision, for clients that look at headers only.
net::HeaderFields decision_fields(const llm::AnswerNotes& notes);

// Notes in the call which model it went to, for the access log and the record.
void note_choice(Call& call, const llm::AnswerNotes& notes);
// Where what is said is to be kept: the prompt, with who speaks where there is more than one message.
void note_prompt(Call& call, const llm::Request& request);
// And what came of it.
void note_answer(Call& call, const llm::Answer& answer);

// Far beyond what any context holds; a worker that goes on for ever is stopped here.
inline constexpr std::size_t kAnswerBytesMax = 64 * 1024 * 1024;
std::unexpected<Error> answer_too_long();

}  // namespace gbgreg::http
