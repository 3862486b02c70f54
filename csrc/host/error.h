// The one exception of the host engine; the binding turns it into an edgec.errors class.
#ifndef EDGEC_HOST_ERROR_H
#define EDGEC_HOST_ERROR_H

#include <stdexcept>
#include <string>

namespace edgec {

enum class ErrorKind { artifact, usage, data };

struct Error : std::runtime_error {
  Error(ErrorKind error_kind, const std::string &error_what, std::string error_where, std::string error_why, std::string error_fix)
      : std::runtime_error(error_what), kind(error_kind), where(std::move(error_where)), why(std::move(error_why)), fix(std::move(error_fix)) {}
  ErrorKind kind;
  std::string where, why, fix;
};

}  // namespace edgec

#endif
