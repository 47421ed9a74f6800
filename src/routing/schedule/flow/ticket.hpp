#pragma once
// A request in flow control, from its arrival to the end of its answer.

#include <cstdint>

namespace baton::schedule {

using Ticket = std::uint64_t;  // in order of arrival, from 1

}  // namespace baton::schedule
