#include "net/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>

namespace gbgreg::net {
namespace {

using Names = std::vector<std::string>;

TEST(InheritedNames, AreOnePerSocketAndOnlyForTheProcessThatIsMeant) {
  struct Case {
    const char* name;
    std::optional<std::string> pid, fds, names;
    Names want;
  };
  const Case cases[] = {
      {"nothing handed over", {}, {}, {}, {}},
      {"for another process", "41", "2", "a:b", {}},
      {"a process id that only begins alike", "420", "1", "a", {}},
      {"none", "42", "0", {}, {}},
      {"no names", "42", "2", {}, {"", ""}},
      {"names", "42", "2", "plain:https", {"plain", "https"}},
      {"fewer names", "42", "3", "a:b", {"a", "b", ""}},
      {"more names", "42", "1", "a:b", {"a"}},
      {"an empty one between", "42", "3", "a::c", {"a", "", "c"}},
      {"no process id", {}, "1", "a", {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto names = inherited_names(c.pid, c.fds, c.names, 42);
    ASSERT_TRUE(names);
    EXPECT_EQ(*names, c.want);
  }
  for (const char* bad : {"", "-1", "x", "65", "99999999999999999999"}) {
    const auto names = inherited_names("42", bad, {}, 42);
    ASSERT_FALSE(names) << bad;
    EXPECT_NE(names.error().message.find("LISTEN_FDS"), std::string::npos);
  }
}

class NotifyTest : public testing::Test {
 protected:
  void TearDown() override { close(hearing_); }

  // Listens at a name, and gives it to a new service manager by the environment.
  ServiceManager manager_at(const std::string& name) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    name.copy(static_cast<char*>(address.sun_path), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    EXPECT_EQ(bind(hearing_, reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
              0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): no other thread runs.
    return {};
  }

  std::string heard() const {
    std::string text(100, '\0');
    const ssize_t size = recv(hearing_, text.data(), text.size(), MSG_DONTWAIT);
    return size < 0 ? "nothing" : text.substr(0, static_cast<std::size_t>(size));
  }

  int hearing_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

TEST_F(NotifyTest, SaysItAtAFileAndLeavesNoVariableForChildren) {
  const std::string path = testing::TempDir() + "gbgreg_notify_" + std::to_string(getpid());
  const ServiceManager manager = manager_at(path);
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);  // NOLINT(concurrency-mt-unsafe): no other thread runs.
  manager.notify("READY=1");
  EXPECT_EQ(heard(), "READY=1");
  manager.notify("STOPPING=1");
  EXPECT_EQ(heard(), "STOPPING=1");
  unlink(path.c_str());
  manager.notify("READY=1");  // Nobody is there any more, which is no matter.
}

TEST_F(NotifyTest, SaysItAtANameThatIsNoFile) {
  const ServiceManager manager = manager_at("@gbgreg_notify_" + std::to_string(getpid()));
  manager.notify("READY=1");
  EXPECT_EQ(heard(), "READY=1");
}

TEST_F(NotifyTest, SaysNothingWhenNobodyAsked) {
  const ServiceManager manager;
  manager.notify("READY=1");
  EXPECT_EQ(heard(), "nothing");
}

}  // namespace
}  // namespace gbgreg::net
