// How well and how fast prompts are routed: routing_bench FILE.jsonl
//
// Each line of the file is an object with `prompt` or `messages` ([{role,content}, …]), `role` (the label), and, when
// there are such, `image` (true), `complexity` (1 to 5) and `also_ok` (other roles that would do). Prints accuracy,
// recall and confusion by role, how near the complexity is, and the time a decision takes.
#include "routing/routing.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

namespace json = boost::json;
namespace llm = gbgreg::llm;
namespace routing = gbgreg::routing;

struct Item {
  llm::Request request = {};
  std::string role = {};
  std::vector<std::string> also_ok = {};
  int complexity = 0;
};

llm::Message read_message(const json::object& object) {
  llm::Message message;
  const std::string speaker(object.at("role").as_string());
  if (speaker == "assistant") message.speaker = llm::Speaker::assistant;
  if (speaker == "system") message.speaker = llm::Speaker::system;
  message.text = object.at("content").as_string();
  return message;
}

Item read_item(const std::string& line) {
  const json::object object = json::parse(line).as_object();
  Item item{.role = std::string(object.at("role").as_string())};
  if (const auto* messages = object.if_contains("messages"); messages != nullptr && messages->is_array()) {
    for (const auto& message : messages->as_array()) item.request.messages.push_back(read_message(message.as_object()));
  } else {
    item.request.messages.push_back({.text = std::string(object.at("prompt").as_string())});
  }
  if (const auto* image = object.if_contains("image"); image != nullptr && image->is_bool() && image->as_bool()) {
    item.request.messages.back().images.push_back({.base64 = "AAAA", .media_type = "image/png"});
  }
  if (const auto* also = object.if_contains("also_ok"); also != nullptr && also->is_array()) {
    for (const auto& role : also->as_array()) item.also_ok.emplace_back(role.as_string());
  }
  if (const auto* level = object.if_contains("complexity"); level != nullptr && level->is_int64()) {
    item.complexity = static_cast<int>(level->as_int64());
  }
  return item;
}

std::vector<llm::BackendView> four_roles() {
  std::vector<llm::BackendView> backends;
  for (const char* role : {"coordinator", "technical", "documentation", "vision"}) {
    backends.push_back({.id = std::string(role) + "/model",
                        .role = role,
                        .model = std::string(role) + "-model",
                        .state = llm::BackendState::ready,
                        .sees_images = std::string_view(role) == "vision",
                        .slots_total = 4,
                        .slots_free = 4,
                        .tokens_per_second = 20.0});
  }
  return backends;
}

double microseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE.jsonl\n", argv[0]);
    return 2;
  }
  std::ifstream file(argv[1]);
  if (!file) {
    std::fprintf(stderr, "%s cannot be read\n", argv[1]);
    return 1;
  }
  std::vector<Item> items;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) items.push_back(read_item(line));
  }

  const auto backends = four_roles();
  std::map<std::string, std::map<std::string, int>> confusion;
  int strict = 0;
  int lenient = 0;
  int level_exact = 0;
  int level_near = 0;
  int level_labelled = 0;
  std::vector<double> times;
  for (int round = 0; round < 5; ++round) {
    for (const auto& item : items) {
      const auto start = std::chrono::steady_clock::now();
      const auto decision = routing::choose(routing::read_features(item.request), "auto", backends);
      const auto end = std::chrono::steady_clock::now();
      if (!decision) {
        std::fprintf(stderr, "no decision: %s\n", decision.error().message.c_str());
        return 1;
      }
      // The first round warms the caches, and is the one that is scored.
      if (round > 0) {
        times.push_back(microseconds(end - start));
        continue;
      }
      ++confusion[item.role][decision->role];
      const bool same = decision->role == item.role;
      strict += same ? 1 : 0;
      lenient += same || std::ranges::find(item.also_ok, decision->role) != item.also_ok.end() ? 1 : 0;
      if (item.complexity > 0) {
        ++level_labelled;
        level_exact += decision->complexity.level == item.complexity ? 1 : 0;
        level_near += std::abs(decision->complexity.level - item.complexity) <= 1 ? 1 : 0;
      }
    }
  }

  const double total = std::max<double>(1, static_cast<double>(items.size()));
  std::printf("%zu prompts   accuracy %.1f %%   lenient %.1f %%\n\n", items.size(), 100 * strict / total,
              100 * lenient / total);
  std::printf("%-15s %7s %7s   chosen as\n", "role", "prompts", "recall");
  for (const auto& [role, chosen] : confusion) {
    int count = 0;
    for (const auto& [as, times_chosen] : chosen) count += times_chosen;
    const auto right = chosen.find(role);
    std::printf("%-15s %7d %6.1f%%  ", role.c_str(), count,
                right == chosen.end() ? 0.0 : 100.0 * right->second / count);
    for (const auto& [as, times_chosen] : chosen) std::printf(" %s %d", as.c_str(), times_chosen);
    std::printf("\n");
  }
  if (level_labelled > 0) {
    std::printf("\ncomplexity: exact %.1f %%, within one level %.1f %%\n", 100.0 * level_exact / level_labelled,
                100.0 * level_near / level_labelled);
  }
  if (!times.empty()) {
    std::ranges::sort(times);
    const auto at = [&](double share) {
      return times[static_cast<std::size_t>(share * (static_cast<double>(times.size()) - 1))];
    };
    std::printf("\ntime of a decision: p50 %.1f us, p99 %.1f us, longest %.1f us\n", at(0.5), at(0.99), times.back());
  }
  return 0;
}
