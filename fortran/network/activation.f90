!> Activation functions of ænet, value and slope together, over whole arrays.
module tf_activation
   use tf_kinds, only : wp, rp => wp, i4, i8
   implicit none
   private
   public :: activate, activate_twice, activation_linear, activation_tanh, activation_sigmoid, activation_mtanh, &
      activation_twist, n_activation

   integer, parameter :: activation_linear = 0, activation_tanh = 1, activation_sigmoid = 2, &
      activation_mtanh = 3, activation_twist = 4
   integer, parameter :: n_activation = 5

   ! Constants of ænet's mtanh and twist, with the digits it has
   real(rp), parameter :: mtanh_height = 1.7159_rp, mtanh_slope = 0.666666666666667_rp
   real(rp), parameter :: twist_slope = 0.1_rp

   ! Numbers at a time, in the nearest cache
   integer, parameter :: strip = 256

contains

   !> Replace the arguments by the function values and give the slopes
   pure subroutine activate(code, n, x, slope)
      !> Which function: 0 linear, 1 tanh, 2 sigmoid, 3 mtanh, 4 twist
      integer, intent(in) :: code
      integer, intent(in) :: n
      !> Arguments in, values out
      real(rp), intent(inout) :: x(n)
      !> Derivative of the value with respect to the argument
      real(rp), intent(out) :: slope(n)
      real(rp) :: argument(strip), stretch, height, rest
      integer :: start, m

      call shape_of(code, stretch, height, rest)
      select case (code)
      case (activation_linear)
         slope = 1.0_rp
      case (activation_tanh)
         call tangents(n, stretch, x, slope)
      case default
         do start = 0, n - 1, strip
            m = min(strip, n - start)
            argument(:m) = x(start + 1:start + m)
            call tangents(m, stretch, x(start + 1), slope(start + 1))
            call give_values(code, m, height, rest, argument, x(start + 1))
            slope(start + 1:start + m) = height*stretch*slope(start + 1:start + m) + rest
         end do
      end select
   end subroutine activate

   !> The same with the second derivatives, for losses that hold derivatives of the networks
   pure subroutine activate_twice(code, n, x, slope, curvature)
      !> As for `activate`
      integer, intent(in) :: code
      integer, intent(in) :: n
      !> Arguments in, values out
      real(rp), intent(inout) :: x(n)
      !> First and second derivative of the value with respect to the argument
      real(rp), intent(out) :: slope(n), curvature(n)
      real(rp) :: argument(strip), stretch, height, rest, bend
      integer :: i, start, m

      if (code == activation_linear) then
         slope = 1.0_rp
         curvature = 0.0_rp
         return
      end if
      call shape_of(code, stretch, height, rest)
      do start = 0, n - 1, strip
         m = min(strip, n - start)
         argument(:m) = x(start + 1:start + m)
         call tangents(m, stretch, x(start + 1), slope(start + 1))
         !$omp simd private(bend)
         do i = start + 1, start + m
            bend = height*stretch*slope(i)
            slope(i) = bend + rest
            curvature(i) = -2.0_rp*stretch*x(i)*bend
         end do
         call give_values(code, m, height, rest, argument, x(start + 1))
      end do
   end subroutine activate_twice

   !> All but the linear function are height·tanh(stretch·x) + rest·x, that of sigmoid + 1/2
   pure subroutine shape_of(code, stretch, height, rest)
      integer, intent(in) :: code
      real(rp), intent(out) :: stretch, height, rest

      stretch = 1.0_rp
      height = 1.0_rp
      rest = 0.0_rp
      select case (code)
      case (activation_sigmoid)
         ! 1/(1 + exp(-x)) = ½(1 + tanh(x/2))
         stretch = 0.5_rp
         height = 0.5_rp
      case (activation_mtanh)
         stretch = mtanh_slope
         height = mtanh_height
      case (activation_twist)
         stretch = mtanh_slope
         height = mtanh_height
         rest = twist_slope
      end select
   end subroutine shape_of

   !> The values; terms that are 0 are left out, for the sake of infinite arguments and of the sign of 0
   pure subroutine give_values(code, n, height, rest, argument, x)
      integer, intent(in) :: code, n
      real(rp), intent(in) :: height, rest, argument(n)
      !> tanh(stretch·argument) in, values out
      real(rp), intent(inout) :: x(n)

      select case (code)
      case (activation_sigmoid)
         x = height*x + 0.5_rp
      case (activation_twist)
         x = height*x + rest*argument
      case (activation_mtanh)
         x = height*x
      end select
   end subroutine give_values

   !> tanh(stretch·x) without branches or library calls, so that it runs in vector registers on any machine:
   !> tanh|x| = e/(e + 2) with e = exp(2|x|) - 1 = 2^k·p + (2^k - 1).  Error below 3 ulp; NaN stays NaN.
   pure subroutine tangents(n, stretch, x, slope)
      integer, intent(in) :: n
      real(rp), intent(in) :: stretch
      !> Arguments in, tanh(stretch·x) out
      real(rp), intent(inout) :: x(n)
      !> 1 - tanh²
      real(rp), intent(out) :: slope(n)
      logical, parameter :: is_double = kind(1.0_rp) == wp
      integer, parameter :: ip = merge(i8, i4, is_double), mantissa = digits(1.0_rp) - 1
      integer(ip), parameter :: bias = maxexponent(1.0_rp) - 1
      real(rp), parameter :: log2_e = 1.4426950408889634_rp
      ! ln 2 split in two, so that k·ln2_high is exact
      real(rp), parameter :: ln2_high = real(merge(6.93147180369123816490e-01_wp, 0.693359375_wp, is_double), rp), &
         ln2_low = real(merge(1.90821492927058770002e-10_wp, -2.12194440054690583e-04_wp, is_double), rp)
      real(rp), parameter :: saturated = 40.0_rp  ! tanh(20) is 1 in double precision
      ! 1.5·2^52: adding it leaves the nearest integer in the last bits of the mantissa
      real(rp), parameter :: rounder = 1.5_rp*2.0_rp**mantissa
      real(rp) :: z, t, k, r, q, p, power, e, shifted
      integer :: i

      !$omp simd private(z, t, k, r, q, p, power, e, shifted)
      do i = 1, n
         z = stretch*x(i)
         t = abs(z)*2.0_rp
         t = merge(saturated, t, t > saturated)
         shifted = t*log2_e + rounder
         k = shifted - rounder
         r = (t - k*ln2_high) - k*ln2_low
         ! (exp(r) - 1 - r)/r² = 1/2! + r/3! + …, |r| <= ln(2)/2
         q = 1.0_rp/5040.0_rp
         if (is_double) q = q + r*(1.0_rp/40320.0_rp + r*(1.0_rp/362880.0_rp + r*(1.0_rp/3628800.0_rp + &
            r*(1.0_rp/39916800.0_rp + r*(1.0_rp/479001600.0_rp)))))
         p = r + r*r*(1.0_rp/2.0_rp + r*(1.0_rp/6.0_rp + r*(1.0_rp/24.0_rp + r*(1.0_rp/120.0_rp + &
            r*(1.0_rp/720.0_rp + r*q)))))
         power = transfer(ishft(transfer(shifted, 0_ip) + bias, mantissa), 1.0_rp)
         e = power*p + (power - 1.0_rp)
         x(i) = sign(e/(e + 2.0_rp), z)
         slope(i) = 1.0_rp - x(i)*x(i)
      end do
   end subroutine tangents

end module tf_activation
