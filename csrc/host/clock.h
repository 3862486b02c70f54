#ifndef EDGEC_HOST_CLOCK_H
#define EDGEC_HOST_CLOCK_H

#include <chrono>

namespace edgec {

// Seconds of a clock that only goes forward.
inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace edgec

#endif
