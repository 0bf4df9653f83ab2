// How much work a prompt is. Pure.
#pragma once

#include "llm/decision.h"
#include "routing/features.h"

namespace gbgreg::routing {

// The level is a cut of the score: 1 a fact or one line, 2 simple, 3 about a page, 4 many constraints, 5 very long.
llm::Complexity measure_complexity(const Features& features);

// About how many tokens an answer to it has, from its complexity and what is asked; never above what the request
// allows.
int expected_answer_tokens(const Features& features, const llm::Complexity& complexity);

}  // namespace gbgreg::routing
