// Messages to the gateway on standard output, as intake/jail_messages.h has them. One thread. A gateway that does not
// listen any more ends the program (SIGPIPE).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gbgreg::jail {

// One message of at most intake::kJailMessageBytesMax bytes; leaves when it cannot be written.
void say(char type, std::string_view payload);

// Any number of bytes, as as many messages of one type as they need.
void say_all(char type, std::string_view bytes);

void append_u32(std::string& payload, std::uint32_t number);
void append_u64(std::string& payload, std::uint64_t number);

}  // namespace gbgreg::jail
